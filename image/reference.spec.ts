import { request } from 'node:http';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import { familiarReference, formatReference, parseReference, repositoryFromName } from './reference';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

const valid: readonly (readonly [text: string, familiar: string, full: string])[] = [
  ['hello', 'hello:latest', 'docker.io/library/hello:latest'],
  ['hello:1.2', 'hello:1.2', 'docker.io/library/hello:1.2'],
  ['docker.io/library/hello:latest', 'hello:latest', 'docker.io/library/hello:latest'],
  ['index.docker.io/hello', 'hello:latest', 'docker.io/library/hello:latest'],
  ['library/hello', 'hello:latest', 'docker.io/library/hello:latest'],
  ['acme/hello', 'acme/hello:latest', 'docker.io/acme/hello:latest'],
  ['library/a/b', 'library/a/b:latest', 'docker.io/library/a/b:latest'],
  ['ghcr.io/acme/hello:v1', 'ghcr.io/acme/hello:v1', 'ghcr.io/acme/hello:v1'],
  ['localhost/hello', 'localhost/hello:latest', 'localhost/hello:latest'],
  ['localhost:5000/hello', 'localhost:5000/hello:latest', 'localhost:5000/hello:latest'],
  [
    'host:5000/a/b_c/d__e/f-g/h--i.j:T_1.x-',
    'host:5000/a/b_c/d__e/f-g/h--i.j:T_1.x-',
    'host:5000/a/b_c/d__e/f-g/h--i.j:T_1.x-',
  ],
  ['Host.IO/hello', 'Host.IO/hello:latest', 'Host.IO/hello:latest'],
  [`hello:t@${digest}`, `hello:t@${digest}`, `docker.io/library/hello:t@${digest}`],
  [`hello@${digest}`, `hello@${digest}`, `docker.io/library/hello@${digest}`],
  [`a:${'t'.repeat(128)}`, `a:${'t'.repeat(128)}`, `docker.io/library/a:${'t'.repeat(128)}`],
  [`x.y/${'a'.repeat(251)}`, `x.y/${'a'.repeat(251)}:latest`, `x.y/${'a'.repeat(251)}:latest`],
];

/** With a part of the message, and the reference that is proposed. */
const invalid: [text: string, problem: string, proposal?: string][] = [
  ['Hello', '"Hello" has upper-case letters', 'hello:latest'],
  ['acme/My App:1', '"My App" has upper-case letters', 'acme/my-app:1'],
  ['hello:', 'the tag after ":" is missing', 'hello:latest'],
  ['hello:-x', 'the tag "-x" must be made of', 'hello:x'],
  ['hello:a b', 'the tag "a b"', 'hello:a-b'],
  [`hello:${'t'.repeat(129)}`, 'the tag has more than 128', `hello:${'t'.repeat(128)}`],
  [':tag', 'the name is missing'],
  ['a//b', 'empty', 'a/b:latest'],
  ['a/', 'empty', 'a:latest'],
  ['-hello', 'must begin and end with', 'hello:latest'],
  ['a__b___c', 'must begin and end with', 'a__b-c:latest'],
  ['a..b', 'must begin and end with', 'a-b:latest'],
  ['hello!', 'holds "!"', 'hello:latest'],
  ['größe', 'holds "ö"', 'gro-e:latest'],
  ['ho_st:5000/hello', 'is no registry'],
  ['https://ghcr.io/acme/hello', 'no scheme', 'ghcr.io/acme/hello:latest'],
  [`x.y/${'a'.repeat(252)}`, 'more than 255'],
  ['hello@sha256:123', 'no digest', 'hello:latest'],
  ['hello@', 'no digest', 'hello:latest'],
  [`hello@md9:${'a'.repeat(64)}`, 'unknown', 'hello:latest'],
];

describe('parseReference', () => {
  it.each(valid)('reads %s', (text, familiar, full) => {
    const reference = parseReference(text);
    expect(familiarReference(reference)).toBe(familiar);
    expect(formatReference(reference)).toBe(full);
    expect(parseReference(full)).toEqual(reference);
  });

  it.each(invalid.map((row) => ({ row })))('refuses $row.0 and proposes what is valid', ({ row }) => {
    const [text, problem, proposal] = row;
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({
        code: 'REFERENCE_INVALID',
        message: expect.stringContaining(problem),
        hint: expect.stringContaining(proposal === undefined ? 'Write' : `Write for example ${proposal}.`),
      }),
    );
    if (proposal !== undefined) parseReference(proposal);
  });

  it('refuses an empty text, spaces around, and an image ID, which an engine would read as such', () => {
    for (const text of ['', ' hello', 'hello\n', 'a'.repeat(64)]) {
      expect(() => parseReference(text)).toThrow('not a valid image reference');
    }
  });
});

describeWithEngine('parseReference beside a container engine', () => {
  /** The engine's own parser: 400 for an invalid reference, otherwise 404 with the familiar form. */
  function ask(reference: string): Promise<{ status: number; message: string }> {
    return new Promise((resolve, reject) => {
      const path = `/images/${encodeURIComponent(reference)}/json`;
      request({ socketPath: engineHost!.replace(/^unix:\/\//, ''), path }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode!, message: body }));
      })
        .on('error', reject)
        .end();
    });
  }

  it('takes what the engine takes, under the same familiar name', async () => {
    for (const [text, familiar] of valid) {
      const unused = (name: string) => name.replace('hello', 'slim-go-no-such-image');
      const { status, message } = await ask(unused(text));
      expect([text, status]).toEqual([text, 404]);
      expect(JSON.parse(message).message).toMatch(`No such image: ${unused(familiar)}`);
    }
  });

  it('refuses what the engine refuses', async () => {
    // The HTTP server itself redirects from a path with an empty part.
    for (const [text] of invalid.filter(([text]) => !/\/(?:\/|$)/.test(text))) {
      expect([text, (await ask(text)).status]).toEqual([text, 400]);
    }
  });
});

describe('repositoryFromName', () => {
  it.each([
    ['hello', 'hello'],
    ['@acme/Hello World', 'acme/hello-world'],
    ['apps\\api', 'apps/api'],
    ['acme.io/hello', 'acme-io/hello'],
    ['localhost/hello', 'local-host/hello'],
    [':apps:hello', 'apps-hello'],
    ['__x__', 'x'],
    ['a._-b', 'a-b'],
    ['v1.2_x--y', 'v1.2_x--y'],
    ['Größe', 'gro-e'],
    ['café', 'cafe'],
  ])('makes of %s the repository %s, on Docker Hub as any name without registry', (name, repository) => {
    expect(repositoryFromName(name)).toBe(repository);
    expect(parseReference(repository)).toMatchObject({ domain: 'docker.io' });
  });

  it('refuses a name of which nothing can remain', () => {
    for (const name of ['', '日本', '///', 'a'.repeat(64)]) {
      expect(() => repositoryFromName(name)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
    }
  });

  it('always gives a valid repository, whatever the characters', () => {
    const alphabet = ['a', 'B', '1', '.', '_', '-', '/', ' ', 'é', '日', '@', ':'];
    let state = 42;
    for (let round = 0; round < 5000; round++) {
      let name = 'x';
      for (let index = 0; index < 8; index++) {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
        name += alphabet[(state >> 8) % alphabet.length];
      }
      const repository = repositoryFromName(name);
      expect(familiarReference(parseReference(repository)).replace(/^library\//, '')).toBe(
        `${repository.replace(/^library\/(?=[^/]+$)/, '')}:latest`,
      );
    }
  });
});
