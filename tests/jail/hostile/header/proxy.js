// expect[user_error]: a header that is made up while it is read
const endless = () => new Proxy(function () {}, { get: () => endless(), ownKeys: () => ['id', 'actions', 'prototype'], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }) });
export default endless();
