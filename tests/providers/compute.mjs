// The same certified provider for programs: client credentials with `compute.*` scopes and an audience per resource.
// What it knows comes as JSON in PROVIDER: {port, clients: [{client_id, client_secret, scope}], lasts}
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const modules = createRequire(`${process.env.PROVIDER_HOME}/package.json`);
const { default: Provider, errors } = await import(pathToFileURL(modules.resolve('oidc-provider')));
const { port, clients, lasts } = JSON.parse(process.env.PROVIDER);
const scope = 'compute.read compute.create compute.modify compute.cancel';

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: clients.map((client) => ({ grant_types: ['client_credentials'], response_types: [], redirect_uris: [], ...client })),
  scopes: ['openid', ...scope.split(' ')],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => `http://127.0.0.1:${port}`,
      getResourceServerInfo: (ctx, resource) => {
        if (!resource.startsWith('https://ce')) throw new errors.InvalidTarget();
        return { scope, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: lasts, jwt: { sign: { alg: 'RS256' } } };
      },
    },
  },
  jwks: { keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
});
provider.listen(port, '127.0.0.1');
