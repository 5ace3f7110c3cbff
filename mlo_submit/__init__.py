"""`mlo-submit`: launches jobs from a laptop on run:ai, on Kubernetes, or in Docker on this machine."""
