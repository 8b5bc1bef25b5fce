// A real OpenID Connect provider on a free port, for a client whose settings come as the first argument, and people as the second: by
// their `sub`, what is claimed of them. Who signs in says so by the header `x-sub`, in place of a form with a password.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [client, people] = process.argv.slice(2).map((text) => JSON.parse(text));
const server = createServer((request, response) => answer(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [client],
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email", "email_verified"] },
    // Claims stand in the ID token, as they do in those of Keycloak and Entra.
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/as/${interaction.uid}` },
    pkce: { required: () => true },
    cookies: { keys: ["only for tests"] },
    findAccount: (_, sub) => people[sub] && { accountId: sub, claims: () => ({ sub, ...people[sub] }) },
    ttl: { Interaction: 600, Session: 600, Grant: 600, IdToken: 600, AccessToken: 600 },
  });
  const serve = provider.callback();
  answer = async (request, response) => {
    if (!request.url.startsWith("/as/")) return serve(request, response);
    const accountId = request.headers["x-sub"];
    if (!people[accountId]) {
      const denied = { error: "access_denied", error_description: "nobody" };
      return provider.interactionFinished(request, response, denied);
    }
    const grant = new provider.Grant({ accountId, clientId: client.client_id });
    grant.addOIDCScope("openid profile email");
    const consent = { grantId: await grant.save() };
    return provider.interactionFinished(request, response, { login: { accountId }, consent });
  };
  console.log(issuer);
});

let answer;
