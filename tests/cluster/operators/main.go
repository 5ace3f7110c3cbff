// The controllers of JobSet and of Kubeflow's PyTorchJob with their webhooks, and no others: the training operator's own
// program brings those of six frameworks, and both make certificates for a Service that this cluster does not have.
package main

import (
	"flag"
	"log"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	zapper "sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	kubeflow "github.com/kubeflow/training-operator/pkg/apis/kubeflow.org/v1"
	"github.com/kubeflow/training-operator/pkg/config"
	"github.com/kubeflow/training-operator/pkg/controller.v1/common"
	"github.com/kubeflow/training-operator/pkg/controller.v1/pytorch"
	pytorchwebhooks "github.com/kubeflow/training-operator/pkg/webhooks/pytorch"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"
	"sigs.k8s.io/jobset/pkg/controllers"
	jobsetwebhooks "sigs.k8s.io/jobset/pkg/webhooks"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	image := flag.String("image", "", "what waits for the master of a PyTorchJob")
	certificates := flag.String("certificates", "", "the directory of tls.crt and tls.key")
	flag.Parse()
	ctrl.SetLogger(zapper.New())
	config.Config.PyTorchInitContainerImage = *image
	config.Config.PyTorchInitContainerTemplateFile = config.PyTorchInitContainerTemplateFileDefault

	types := runtime.NewScheme()
	must(scheme.AddToScheme(types))
	must(jobset.AddToScheme(types))
	must(kubeflow.AddToScheme(types))
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:                 types,
		HealthProbeBindAddress: "127.0.0.1:8083",
		Metrics:                metrics.Options{BindAddress: "0"},
		WebhookServer:          webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: 9444, CertDir: *certificates}),
	})
	must(err)
	context := ctrl.SetupSignalHandler()

	must(controllers.SetupJobSetIndexes(context, manager.GetFieldIndexer()))
	must(controllers.SetupPodIndexes(context, manager.GetFieldIndexer()))
	sets := controllers.NewJobSetReconciler(manager.GetClient(), manager.GetScheme(), manager.GetEventRecorderFor("jobset"))
	must(sets.SetupWithManager(manager))
	pods := controllers.NewPodReconciler(manager.GetClient(), manager.GetScheme(), manager.GetEventRecorderFor("pod"))
	must(pods.SetupWithManager(manager))
	hook, err := jobsetwebhooks.NewJobSetWebhook(manager.GetClient())
	must(err)
	must(hook.SetupWebhookWithManager(manager))

	must(pytorch.NewReconciler(manager, common.GenNonGangSchedulerSetupFunc()).SetupWithManager(manager, 1))
	must(pytorchwebhooks.SetupWebhook(manager))

	must(manager.AddReadyzCheck("webhooks", manager.GetWebhookServer().StartedChecker()))
	must(manager.AddHealthzCheck("alive", healthz.Ping))
	must(manager.Start(context))
}
