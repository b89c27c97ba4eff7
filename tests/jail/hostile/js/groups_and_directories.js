// expect[violation] slots[user_error: node:process]: another user, other groups, another root
import process from 'node:process';
async function run(x) { process.setgroups([0]); }
