"""Tests of the contract's client and of the engine service, most of them with the fake group."""
