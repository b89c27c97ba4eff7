// expect[ok crash oom user_error] slots[user_error: node:v8]: switch V8 over while it runs: natives, no limits, no protections
import v8 from 'node:v8';
async function run(x) {
  for (const flag of ['--allow-natives-syntax', '--max-old-space-size=65536', '--no-harden-protect', '--stack-size=1000000', '--expose-gc', '--sandbox-testing']) v8.setFlagsFromString(flag);
  const deep = (n) => n === 0 ? 0 : 1 + deep(n - 1);
  return deep(2e5);
}
