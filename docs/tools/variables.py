"""What each environment variable is for, once: a test compares the names with those that the code knows."""

MACHINE = {
    "MLO_ENV_FILE": "the .env to read, where --env-file names none",
    "KUBECONFIG": "where Kubernetes' contexts are; else `~/.kube/config`",
    "NO_COLOR": "if it has a value: no colours, on a terminal too",
    "TERM": "the terminal's type, which a shell in a job is told; `dumb`: nothing moves while you wait",
    "SHELL": "the shell for which `completion` prints its script",
    "HOME": "where `~` is",
    "PATH": "where kubectl, runai, docker, ssh and the editors are",
    "XDG_CONFIG_HOME": "`mlo/.env` in it is read where no other is; else `~/.config`",
    "XDG_DATA_HOME": "`mlo/scratch` in it is the scratch of jobs in Docker; else `~/.local/share`",
    "XDG_STATE_HOME": "`mlo` in it holds the secrets of jobs in Docker, and who stopped them; else `~/.local/state`",
    "XDG_CACHE_HOME": "`mlo` in it holds what may be deleted at any time; else `~/.cache`",
}
"""Of the machine on which `mlo-submit` runs."""

REQUIRED = {
    "NB_USER": "your account's name",
    "NB_UID": "its number",
    "NB_GROUP": "your group's name",
    "NB_GID": "its number",
    "SCRATCH_HOME_ROOT": "the directory of homes on scratch",
    "WORKING_DIR": "where the command starts",
}
"""Of a pod: without one of them the command runs as the container's own user."""

OPTIONAL = {
    "SCRATCH_SEED_USER": "the account of the image that may make directories on scratch",
    "MLO_SECRETS_DIR": "secrets as files, one a key; they become variables of the command",
    "SSH_PRIVATE_KEY_B64": "base64 of the key in `~/.ssh`; reaches nothing else",
    "SSH_PUBLIC_KEY": "the public key in `~/.ssh`; reaches nothing else",
    "SSH_KNOWN_HOSTS": "hosts to know in `~/.ssh`; reaches nothing else",
    "GIT_USER_NAME": "the name for git, where GIT_CONFIG_GLOBAL has none",
    "GIT_USER_EMAIL": "the address for git, where GIT_CONFIG_GLOBAL has none",
    "MLO_STOP_WHEN_IDLE": "seconds without use after which the pod is stopped (`run --stop-when-idle`)",
}
"""Of a pod: what a boot may be given."""

SESSION = {
    "SCRATCH_HOME": "what outlives the pod",
    "ZDOTDIR": "where zsh has its files",
    "ZSH": "where oh-my-zsh is",
    "HISTFILE": "what you typed",
    "GIT_CONFIG_GLOBAL": "git's configuration",
    "UV_CACHE_DIR": "uv's packages",
    "UV_PYTHON_INSTALL_DIR": "uv's Pythons",
    "UV_LINK_MODE": "only where the cache and WORKING_DIR lie on different mounts, between which no hard link leads",
    "HF_HOME": "the Hugging Face cache that the lab shares",
    "HF_TOKEN_PATH": "the token of `hf auth login`, which is yours alone",
    "MLO_SESSION": "tells a shell that it is in a pod of ours",
}
"""Of a pod: what a boot sets for the command and for sessions, unless the pod has it."""

TOGETHER = {
    "PET_NNODES": "how many pods",
    "PET_NODE_RANK": "which of them this is, from 0",
    "PET_NPROC_PER_NODE": "processes of each: one for each GPU",
    "PET_MASTER_ADDR": "the host of rank 0",
    "PET_MASTER_PORT": "the port of rank 0",
    "MASTER_ADDR": "as PET_MASTER_ADDR",
    "MASTER_PORT": "as PET_MASTER_PORT",
    "RANK": "as PET_NODE_RANK, until torchrun gives each process its own",
    "WORLD_SIZE": "processes of all pods",
    "RUNAI_NUM_OF_GPUS": "GPUs of each pod",
    "JOB_COMPLETION_INDEX": "Kubernetes' number of the pod, from which the rank is taken",
    "MLO_RDMA": "the RDMA resource that was asked for: without a device a WARNING says so",
    "NCCL_IB_HCA": "the RDMA devices to use",
    "NCCL_IB_GID_INDEX": "of their address for RoCE v2 over IPv4",
    "NCCL_SOCKET_NTHREADS": "for what still goes over TCP, where there is RDMA",
    "NCCL_NSOCKS_PERTHREAD": "for what still goes over TCP, where there is RDMA",
}
"""Of a pod that works with others ([Jobs of several pods](../multinode.md) tells who sets which)."""

TASK = {
    "MLO_ARRAY": "the indices of all tasks: `0-99`, `1,3,7-9`",
    "MLO_ARRAY_ID": "the submission, under which tasks on run:ai claim their indices",
    "MLO_SWEEP": "what a sweep gives to each task",
    "MLO_ARRAY_INDEX": "the index of this task",
    "SLURM_ARRAY_TASK_ID": "as MLO_ARRAY_INDEX",
    "SLURM_ARRAY_TASK_COUNT": "how many tasks",
    "SLURM_ARRAY_TASK_MIN": "the lowest index",
    "SLURM_ARRAY_TASK_MAX": "the highest index",
}
"""Of a pod that is a task of an array ([Arrays](../arrays.md))."""

BESIDE = {
    "EPFML_LDAP": "your account's name, for scripts of the lab",
    "UV_PYTHON_VERSION": "the Python for your projects",
    "TZ": "the time zone",
}
"""Of a pod: what mlo-submit sets, and no boot reads."""
