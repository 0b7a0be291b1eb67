"""The simulator: the real failover core in a virtual world of clocks, links, witness, disks and services.

Nothing in here decides about a failover; it only lives through faults and checks what must hold.
"""
