/*
 * The design document's `custom-db-query.js` in a spelling that runs: `actions` is an object of async functions, and the
 * permission is `data.read`. Whoever installs it sets DATABASE_URL and lists `customers` in DATABASE_TABLES.
 */
export default {
  id: 'customer-query',
  name: 'Customer Query',
  version: '1.0.0',
  description: 'Customers by their status',
  permissions: ['data.read', 'compute.moderate'],

  actions: {
    queryCustomers: {
      description: 'List up to a hundred customers of a status',
      inputs: {
        filters: {
          type: 'object',
          required: true,
          properties: { status: { type: 'string', required: true, description: 'Such as active' } },
        },
      },
      async run(input) {
        const { filters } = input;

        // Safe database access: a value is never part of the statement.
        const results = await this.db.query(`
          SELECT * FROM customers
          WHERE status = $1
          LIMIT 100
        `, [filters.status]);

        return results;
      },
    },
  },
};
