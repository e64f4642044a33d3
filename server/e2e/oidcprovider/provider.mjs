// A real OpenID provider, npm's oidc-provider, on a free port of the loopback
// address. It knows one tool without a secret; anybody may sign in. Its only
// argument is the folder that its packages were installed in.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const installed = createRequire(process.argv[2] + '/');
const { Provider } = await import(pathToFileURL(installed.resolve('oidc-provider')).href);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'laptop-cli', token_endpoint_auth_method: 'none', application_type: 'native',
      redirect_uris: ['http://127.0.0.1:9/callback'],
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    }],
    cookies: { keys: ['a key of a test'] },
    features: { revocation: { enabled: true } },
  });
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});
