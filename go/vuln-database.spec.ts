import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { databaseOf, readKey } from './vuln-database';

const root = mkdtempSync(join(tmpdir(), 'slim-go-vulndb-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const date = '{"modified":"2024-01-02T03:04:05Z"}';
mkdirSync(join(root, 'db', 'index'), { recursive: true });
writeFileSync(join(root, 'db', 'index', 'db.json'), date);

it('is what the option says, otherwise GOVULNDB, otherwise that of Go', () => {
  expect(databaseOf('https://vuln.example.com/', root)).toBe('https://vuln.example.com');
  expect(databaseOf('db', root)).toBe(pathToFileURL(join(root, 'db')).href);
  expect(databaseOf(undefined, root, { GOVULNDB: 'file:///srv/vulndb' })).toBe('file:///srv/vulndb');
  expect(databaseOf(undefined, root, {})).toBe('https://vuln.go.dev');
});

it('has a key that holds the date of the database, from a folder or by HTTP', async () => {
  expect(await readKey('db', root)).toContain(date);
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/index/db.json' ? 200 : 404).end(date);
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await readKey(url, root)).toContain(date);
  expect(await readKey(`${url}/elsewhere`, root)).not.toContain(date);
  await new Promise((done) => server.close(done));
});

it('never has the same key twice while the database can not be read', async () => {
  expect(await readKey('none', root)).not.toBe(await readKey('none', root));
});
