// An OAuth server that nobody here wrote, on loopback: node oauth_server.js
//
// Prints its address. What it does not know by itself is added here: that a refresh token can be
// withdrawn, after which it is refused as Google refuses it. Ends with its standard input.

const { OAuth2Server } = require('oauth2-mock-server');

const SCOPE = 'https://www.googleapis.com/auth/drive.file';

async function main() {
  const server = new OAuth2Server();
  await server.issuer.keys.generate('RS256');
  const revoked = new Set();
  server.service.on('beforeRevoke', (_, request) => revoked.add(request.body.token));
  server.service.on('beforeResponse', (response, request) => {
    if (revoked.has(request.body.refresh_token)) {
      response.statusCode = 400;
      response.body = { error: 'invalid_grant', error_description: 'Bad Request' };
    } else if (response.body) {
      // Left out of the request, its own is "dummy".
      response.body.scope = SCOPE;
    }
  });
  await server.start(0, '127.0.0.1');
  console.log(`http://127.0.0.1:${server.address().port}`);
  process.stdin.on('end', () => process.exit(0)).resume();
}

main();
