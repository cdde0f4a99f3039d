import { isLocal, parseChallenges } from './client';

it.each([
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    [
      {
        scheme: 'bearer',
        parameters: {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull,push',
        },
      },
    ],
  ],
  ['Basic realm="a \\"b\\", c"', [{ scheme: 'basic', parameters: { realm: 'a "b", c' } }]],
  ['basic', [{ scheme: 'basic', parameters: {} }]],
  [
    'Bearer realm=https://x/t , service = y, Basic realm="z"',
    [
      { scheme: 'bearer', parameters: { realm: 'https://x/t', service: 'y' } },
      { scheme: 'basic', parameters: { realm: 'z' } },
    ],
  ],
  ['', []],
])('reads the challenge %s', (header, challenges) => {
  expect(parseChallenges(header)).toEqual(challenges);
});

it.each([
  ['localhost', true],
  ['localhost:5000', true],
  ['127.0.0.1:5000', true],
  ['[::1]:5000', true],
  ['localhost.example.com', false],
  ['127.0.0.1.example.com', false],
  ['ghcr.io', false],
])('%s is on this machine: %s', (domain, isHere) => {
  expect(isLocal(domain)).toBe(isHere);
});
