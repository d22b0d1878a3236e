"""The worker: reads posts from the queue, judges them, stores the verdicts, tells the site."""
