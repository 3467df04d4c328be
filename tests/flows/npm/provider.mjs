// An identity provider as a hospital runs one: oidc-provider with two clients. Whoever signs in is
// who they say, their groups stand in their name: "ann+readers" is ann, of the group readers.
// node provider.mjs PORT REDIRECT_URI CLAIMS_IN_TOKEN ; prints "ready", then serves until it is ended.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, redirect, inToken] = process.argv.slice(2);
const jwk = (kid) => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
  use: 'sig',
  kid,
  alg: 'RS256',
});
const audience = 'urn:archive';
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'archive',
      client_secret: 'a secret with: signs & spaces',
      redirect_uris: [redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
    {
      client_id: 'gateway',
      client_secret: 'gateway-secret',
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
    },
  ],
  conformIdTokenClaims: inToken !== 'yes',
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  cookies: { keys: ['for a test'] },
  jwks: { keys: [jwk(`key-${Date.now()}`)] },
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'vna.query', 'vna.retrieve'],
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => {
      const [name, ...groups] = id.split('+');
      return { sub: id, preferred_username: name, groups };
    },
  }),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx) => (ctx.oidc.client.clientId === 'gateway' ? audience : undefined),
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'vna.query vna.retrieve',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
      }),
    },
  },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
