"""How an index on Elasticsearch is named, and how the environment says which server and who asks.

Needs no client: an index's URL is looked at where none is installed.
"""

from __future__ import annotations

# `elasticsearch:NAME` is an index of the server in `SERVER_VARIABLE`.
NAMED_SERVER = "elasticsearch:"
SERVER_VARIABLE = "ELASTICSEARCH_URL"
API_KEY_VARIABLE = "ELASTICSEARCH_API_KEY"
CA_VARIABLE = "ELASTICSEARCH_CA_CERTS"
