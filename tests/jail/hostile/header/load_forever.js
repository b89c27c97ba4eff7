// expect[timeout]: a module that never finishes loading
await new Promise((resolve) => setInterval(resolve, 1e9));
export default {};
