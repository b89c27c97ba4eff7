const told = [];
const controller = new AbortController();
const { signal } = controller;
const gone = () => told.push('gone');
signal.onabort = (event) => told.push(['onabort', event.type, event.target === signal]);
signal.addEventListener('abort', () => told.push('heard'));
signal.addEventListener('abort', gone);
signal.removeEventListener('abort', gone);
const any = AbortSignal.any([signal, AbortSignal.timeout(60_000)]);
told.push(signal.aborted, signal.reason === undefined, signal.throwIfAborted() === undefined);
controller.abort();
controller.abort('again');
told.push(signal.aborted, signal.reason.name, signal.reason.message, any.aborted, any.reason === signal.reason);
try { signal.throwIfAborted(); } catch (error) { told.push(error === signal.reason); }
told.push(AbortSignal.abort('why').reason, AbortSignal.any([AbortSignal.abort('first')]).reason);
try { new AbortSignal(); } catch (error) { told.push(error.name); }
const late = AbortSignal.timeout(1);
await new Promise((resolve) => { late.addEventListener('abort', resolve); setTimeout(() => {}, 10_000); });
return [...told, late.reason.name, late.reason.message];
