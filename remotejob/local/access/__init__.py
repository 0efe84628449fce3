"""Who may do what: the part of AWS Identity and Access Management that the embedded AWS enforces.

`signature` proves who calls, `identity` finds the policies of that caller, `permissions` says which
actions on which resources a request needs (`attributes`: and what of an item it names), and
`policies` decides.
"""
