import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

/** Where Go's own database is. https://go.dev/security/vuln/database */
const goDatabase = 'https://vuln.go.dev';
const timeoutMs = 10_000;

/**
 * URL of the vulnerability database to be asked.
 * @param stated what an option says: a URL, or a folder from `root` on
 */
export function databaseOf(stated: string | undefined, root: string, env: NodeJS.ProcessEnv = process.env): string {
  const named = stated || env.GOVULNDB || goDatabase;
  return (named.includes('://') ? named : pathToFileURL(resolve(root, named)).href).replace(/\/$/, '');
}

/** index/db.json of a database: it holds the time of the last change. */
async function readDate(database: string): Promise<string> {
  const url = new URL(`${database}/index/db.json`);
  if (url.protocol === 'file:') return readFile(url, 'utf8');
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.text();
}

/**
 * What the result of a vulnerability check depends on besides sources: the database's date, and the govulncheck on PATH. Where
 * the database can't be read it is never the same twice: a check that passed once must not come out of a cache then.
 */
export async function readKey(stated: string | undefined, root: string): Promise<string> {
  const database = databaseOf(stated, root);
  const asked = promisify(execFile)('govulncheck', ['-version', `-db=${database}`], { timeout: timeoutMs });
  const scanner = await asked.then(
    ({ stdout }) => /^Scanner:.*/m.exec(stdout)?.[0],
    // There is none, or it can't read the database either.
    () => undefined,
  );
  const date = await readDate(database).catch(() => `unreadable ${randomUUID()}`);
  return `${scanner ?? 'no scanner'}\n${date}`;
}

// `node vuln-database.js [database]`, in the workspace root, is a runtime input of the target vuln.
if (require.main === module) void readKey(process.argv[2], process.cwd()).then(console.log);
