"""The embedded AWS: the project's own templates, deployed and running on this machine.

`embedded.EmbeddedAws` is what a program or a test uses. The server behind it (`server`) is moto in
one process of its own with its gaps closed (`gaps`), every request authorised by the policies of
the role that signs it (`access`, `gateway`), functions run from their deployed code (`functions`,
`event_sources`, `schedules`) and workers started as their task definition says (`workers`).
"""
