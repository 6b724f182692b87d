"""A fleet for load tests: N units that sign, connect and send as units do, without N agents.

    identities   keys, certificate requests, the list for `pledgewatch fleet add-many`, and the bundles that come back
    days         what a vehicle does and tells: drives, parks, heartbeats, events (pure)
    sealing      records → each unit's own chain of sealed batches (pure)
    sealed_file  batches sealed beforehand, so that a test measures the server and not us
    disturbing   duplicates and batches that overtake each other (pure)
    windows      one unit's batches under way, and what receipts say of them (pure)
    connections  many MQTT connections in one thread
    playing      the loop that sends in time, and its processes
    tally        what was sent, answered, and how long it took (pure)
    command      the command line

This folder speaks the real contract (`wire/`): a load test with other bytes than a unit's would measure another server.
"""
