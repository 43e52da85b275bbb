"""Keep proxy, hub, service and engine running on one machine: what ``mlabhub up`` does.

    first_run   what is decided once and remembered: instance, ports, secrets, the first admin
    commands    which processes there are, with their arguments and environments
    children    start, watch, restart and stop them
    logs        their output in one folder, with rotation
    up          the whole of it, with a display of the steps

Guarantees: one supervisor per state folder; a process that ends is started again within a second; users' servers are
nobody's children here and outlive all of it; whoever kills the supervisor itself ends its processes with it, so the
next start finds every port free.
"""
