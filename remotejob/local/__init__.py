"""The embedded AWS: the project's own templates, deployed and running on this machine.

Programs and tests use `embedded.EmbeddedAws`. The server behind it (`server`, started by
`server_process`) runs moto in its own process, with the gaps to AWS closed (`gaps`). It authorises
every request by the policies of the role that signs it (`access`, `gateway`), runs functions from
their deployed code (`functions`, `event_sources`, `schedules`), starts workers from their task
definitions (`workers`), and can keep its data from start to start (`keeping`). `announcement` is
how commands find a system that runs in one.
"""
