"""SPECs: the typed description of a service, its score, its improvement and its Markdown form."""
