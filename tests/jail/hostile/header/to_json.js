// expect[user_error]: a header that grows when it is written down
class Wider { toJSON() { return [new Wider(), new Wider()]; } }
export default { id: 'hostile', actions: { async a() {} }, more: new Wider() };
