"""Handlers: one module a journal event; `room` evicts to make room for an answer."""
