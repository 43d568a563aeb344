"""The same actors on a Ray cluster.

    runtime.py     RayRuntime: what a driver opens
    hosting.py     the Ray actor that runs one host
    directory.py   which host owns which actors
    ownership.py   what one host owns, and what is under way there
    sighting.py    what a host has seen of the directory, kept beside its state
    census.py      which trees each bucket has
    handover.py    buckets on their way from one host to another
    scaling.py     more hosts, or fewer
    router.py      one process's way to the hosts
    link.py        calls of one process to one host, in batches
    outbox.py      replies of a host to one process
    order.py       requests are taken in the order in which they were sent
    context.py     deadline, chain and trace, which a call takes along
    parcels.py     large values, in Ray's object store
    peer.py        what two processes lent each other
    verbs.py       what a runtime does besides calls, where hosts have to agree
    stub.py        references that may be sent anywhere
    shipping.py    classes on their way to a host, and kept there
    wire.py        values between processes

Ray is the engine: processes, placement, transport and restarts are Ray's. It never decides who
owns an actor: the directory does.
"""
