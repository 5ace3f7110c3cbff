"""A pod's environment and the account files of its image."""

ENVIRON = {
    "NB_USER": "jdoe",
    "NB_UID": "123456",
    "NB_GROUP": "mlo",
    "NB_GID": "83070",
    "SCRATCH_HOME_ROOT": "/mloscratch/homes",
    "WORKING_DIR": "/mloscratch/homes/jdoe/project",
    "PATH": "/opt/conda/bin:/usr/bin",
}
PASSWD = "root:x:0:0:root:/root:/bin/bash\nmljaggi-admin:x:177449:500:::\nubuntu:x:1000:1000:::\n"
GROUP = "root:x:0:\nadm:x:4:\nsudo:x:27:\nubuntu:x:1000:\nshared:x:7000:mljaggi-admin\n"
