"""What a request does, shared by every app, so that frameworks differ and the work does not.

Knows the contract's services and arithmetic. Must not know any framework or server, nor how an answer is written.
"""
