// expect[timeout] slots[user_error: node:process]: another name for whoever looks from outside, and for its log
import process from 'node:process';
async function run(x) {
  process.title = 'postgres: hardpoint\n[E] owned';
  for (;;);
}
