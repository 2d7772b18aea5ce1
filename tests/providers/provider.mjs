// A certified OpenID provider with a login form of its own. What it knows comes as JSON in PROVIDER:
// {port, clients: [{client_id, client_secret?, redirect_uris}], users: {sub: {password, claims}}}
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const modules = createRequire(`${process.env.PROVIDER_HOME}/package.json`);
const { default: Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));
const { port, clients, users } = JSON.parse(process.env.PROVIDER);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: clients.map((client) => ({
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: client.client_secret ? 'client_secret_basic' : 'none',
    ...client,
  })),
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups', 'eduperson_entitlement'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['of a test'] },
  features: { devInteractions: { enabled: false } },
  findAccount: (ctx, sub) => users[sub] && { accountId: sub, claims: () => ({ sub, ...users[sub].claims }) },
  interactions: { url: (ctx, interaction) => `/login/${interaction.uid}` },
  jwks: { keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile');
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
});

const form = (told) => `<!doctype html><title>Log in</title><p>${told}</p><form method="post">
<input name="login" autocomplete="username"><input name="password" type="password"><button>Log in</button></form>`;

async function body(request) {
  let text = '';
  for await (const part of request) text += part;
  return new URLSearchParams(text);
}

async function login(request, response) {
  let told = '';
  if (request.method === 'POST') {
    const typed = await body(request);
    const sub = Object.keys(users).find((each) => users[each].claims.preferred_username === typed.get('login'));
    if (sub && users[sub].password === typed.get('password')) {
      return provider.interactionFinished(request, response, { login: { accountId: sub } });
    }
    told = 'wrong name or password';
  }
  response.writeHead(told ? 403 : 200, { 'content-type': 'text/html' });
  return response.end(form(told));
}

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith('/login/')) return answer(request, response);
  return login(request, response).catch((fault) => response.writeHead(400).end(String(fault)));
}).listen(port, '127.0.0.1');
