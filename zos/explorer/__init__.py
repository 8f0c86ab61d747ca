"""The grid's GridProxy: follows a chain into a database and answers grid clients' REST and GraphQL queries."""
