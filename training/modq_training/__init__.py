"""From labelled texts to a measured adapter that a worker loads."""
