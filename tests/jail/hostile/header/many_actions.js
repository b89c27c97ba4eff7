// expect[ok]: a header of as many actions as fit
const actions = {};
for (let n = 0; n < 3000; n += 1) actions['action' + n] = async () => n;
export default { id: 'hostile', name: 'Hostile', version: '1.0.0', actions };
