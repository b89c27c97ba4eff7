// expect[timeout] slots[user_error: node:sqlite]: a query without end, in native code that no interrupt of V8 reaches
import { DatabaseSync } from 'node:sqlite';
async function run(x) {
  const db = new DatabaseSync(':memory:');
  return db.prepare('WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c').get();
}
