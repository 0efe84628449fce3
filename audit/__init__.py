"""`make audit`: which packages we ship, under which licences, and with which known faults.

It fails when a bill of materials is empty, when a licence is unknown or not accepted, when a known
advisory names a package, and when a package could not be looked up: an audit that looked at nothing
has found nothing.
"""
