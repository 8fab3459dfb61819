// node-postgres against Tidelog: a pool, parameters, errors, notifications.
const assert = require('node:assert');
const { once } = require('node:events');
const { Client, Pool } = require('pg');

async function main() {
  const pool = new Pool({ max: 3 });
  await pool.query('CREATE TABLE js (id int8 PRIMARY KEY, name text, at timestamptz, raw bytea, doc jsonb, ok bool)');
  const at = new Date('2026-11-23T11:22:33.456Z');
  const insert = { name: 'insert', text: 'INSERT INTO js VALUES ($1, $2, $3, $4, $5, $6) RETURNING id' };
  for (let id = 1; id <= 5; id++) {
    const values = [id, `n${id} 🌊`, at, Buffer.from([0, 255]), { a: [1, null] }, id % 2 === 0];
    const done = await pool.query({ ...insert, values });
    assert.deepStrictEqual(done.rows, [{ id: String(id) }]);
  }
  const { rows } = await pool.query('SELECT * FROM js WHERE id = $1', [2]);
  assert.deepStrictEqual(rows, [
    { id: '2', name: 'n2 🌊', at, raw: Buffer.from([0, 255]), doc: { a: [1, null] }, ok: true },
  ]);
  assert.strictEqual((await pool.query('DELETE FROM js WHERE ok')).rowCount, 2);
  await assert.rejects(pool.query('INSERT INTO js (id) VALUES (1)'), { code: '23505', constraint: 'js_pkey' });
  const counts = await Promise.all([1, 2, 3, 4].map(() => pool.query('SELECT count(*)::int AS n FROM js')));
  assert.deepStrictEqual(counts.map((count) => count.rows[0].n), [3, 3, 3, 3]);

  const listener = new Client();
  await listener.connect();
  await listener.query('LISTEN "public.js"');
  const heard = once(listener, 'notification', { signal: AbortSignal.timeout(30_000) });
  await pool.query("UPDATE js SET name = 'heard' WHERE id = 1");
  const [message] = await heard;
  const change = JSON.parse(message.payload);
  assert.strictEqual(change.op, 'update');
  assert.strictEqual(change.row.name, 'heard');
  assert.strictEqual(change.old.name, 'n1 🌊');
  await listener.end();
  await pool.end();
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
