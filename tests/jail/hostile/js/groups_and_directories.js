// expect[violation]: another user, other groups, another root
import process from 'node:process';
async function run(x) { process.setgroups([0]); }
