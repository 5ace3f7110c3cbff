"""`mlo-submit sync-secret`: mirror .env into the Kubernetes Secret."""

from __future__ import annotations

import click

from mlo_submit import env, kubeconfig
from mlo_submit import secret as secrets
from mlo_submit.commands import common, values
from mlo_submit.commands.manual import Page
from mlo_submit.envfile import EnvFile
from mlo_submit.errors import note


def sync(shared: common.Shared, file: EnvFile, name: str | None, *, adopt: bool, dry_run: bool = False) -> None:
    """Mirror .env into its Secret, and say what came of it; `dry_run` only names the keys."""
    needed = {"K8S_NAMESPACE"} if name else {"K8S_NAMESPACE", "RUNAI_SECRET_NAME"}
    config = env.configure(file, shared.machine, needed)
    common.tell(config)
    secret = secrets.from_config(config, name)
    if dry_run:
        note(f"Secret {secret.name} in {secret.namespace} would hold {', '.join(sorted(secret.values))}.")
        return
    cluster = kubeconfig.connect(shared.machine, config.kube_context)
    outcome = secrets.write(cluster, secret, secrets.read(cluster, secret), adopt=adopt)
    click.echo(f"Secret {secret.name} in {secret.namespace}: {outcome}.")


@click.command(
    cls=Page,
    short_help="Mirror .env into the Kubernetes Secret.",
    examples={
        "After a change of .env": "mlo-submit sync-secret",
        "Take over a Secret that was made by hand": "mlo-submit sync-secret --adopt",
    },
    see_also=(
        "run",
        "init",
        "docs/submit.md",
    ),
)
@common.shared_options
@click.option(
    "--secret-name", metavar="NAME", type=values.SUBDOMAIN, help="Name of the Secret, instead of RUNAI_SECRET_NAME."
)
@click.option("--adopt", is_flag=True, help="Take over a Secret of that name that mlo-submit did not make.")
@click.pass_obj
def command(shared: common.Shared, secret_name: str | None, adopt: bool) -> None:
    """Mirror every variable of .env into the Secret RUNAI_SECRET_NAME, as `run` does; what left .env leaves it."""
    sync(shared, common.read(shared), secret_name, adopt=adopt)
