"""What an actor and all below it may use together, and what of it is used.

    quota.py      the limits, as the user writes them
    errors.py     what is raised when one would be crossed
    allowance.py  one quota in force, and what of it is used
    bucket.py     use that is forgiven with time
    charging.py   what a commit uses: bytes, databases, meters
    admission.py  what a call uses: one of so many at a time, and in a second
    meters.py     `self.meters`: units that only the user can count

A node knows the allowances that hold for it, its own first (`Node.allowances`). Where none does,
that tuple is empty and nothing here runs.
"""
