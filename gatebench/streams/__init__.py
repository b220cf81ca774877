"""HTTP/1.1 over TLS, HTTP/2 and HTTP/3 by one client, so that their rates can be compared; a program of its own.

Knows the wire, by h11, hpack, hyperframe and aioquic. Must not know Locust, stacks, servers or results.
"""
