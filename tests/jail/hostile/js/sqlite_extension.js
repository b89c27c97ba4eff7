// expect[ok_denied] slots[user_error: node:sqlite]: native code, and other files, by way of SQLite
import { DatabaseSync } from 'node:sqlite';
import fs from 'node:fs';
async function run(x) {
  const said = [];
  const tries = [
    (db) => { fs.writeFileSync('/tmp/e.so', fs.readFileSync('/tmp/none', { flag: 'a+' })); db.loadExtension('/tmp/e.so'); },
    (db) => db.loadExtension('/lib/x86_64-linux-gnu/libc.so.6'),
    (db) => db.exec("ATTACH 'CANARY_FILE' AS c; SELECT * FROM c.sqlite_master"),
    (db) => db.exec("ATTACH '/etc/hp.db' AS c; CREATE TABLE c.t (a)"),
    (db) => db.exec("VACUUM INTO '/sdk/x.db'"),
  ];
  for (const attempt of tries) {
    const db = new DatabaseSync(':memory:', { allowExtension: true });
    try { attempt(db); said.push('DONE'); } catch (error) { said.push(error.message); }
    db.close();
  }
  return { denied: !said.includes('DONE'), said };
}
