"""Tests of what training and serving must agree on."""
