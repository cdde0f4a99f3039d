import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SlimGoError } from '../errors';

/**
 * The variables of an option `envFile`, as `KEY=VALUE`, in the order of the files.
 * @throws OPTION_INVALID
 */
export async function readEnvFiles(workspace: string, files: string | readonly string[]): Promise<readonly string[]> {
  const texts = await Promise.all([files].flat().map((file) => readEnvFile(workspace, file)));
  return texts.flat();
}

async function readEnvFile(workspace: string, file: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(resolve(workspace, file), 'utf8');
  } catch (error) {
    throw new SlimGoError(
      'OPTION_INVALID',
      `envFile "${file}" can't be read (${(error as NodeJS.ErrnoException).code}).`,
      {
        hint: 'Its path is relative to the workspace root.',
        cause: error,
      },
    );
  }
  return parseEnvFile(text, file, process.env);
}

/**
 * Reads a file of variables as `docker run --env-file` does: a line is `KEY=VALUE`, or `KEY` with the value that it has in
 * `inherited`, left out where it has none; quotes and `$` mean themselves, white space before a key is dropped, lines
 * starting with `#` and empty ones are comments.
 * @param file its path, for messages
 * @throws OPTION_INVALID with file:line
 * https://docs.docker.com/reference/cli/docker/container/run/#env
 */
export function parseEnvFile(text: string, file: string, inherited: NodeJS.ProcessEnv): readonly string[] {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((raw, index) => {
      const line = raw.replace(/\r$/, '').trimStart();
      return line === '' || line.startsWith('#') ? [] : envEntry(line, inherited, `${file}:${index + 1}: "${line}"`);
    });
}

function envEntry(entry: string, inherited: NodeJS.ProcessEnv, where: string): readonly string[] {
  const equals = entry.indexOf('=');
  const key = equals < 0 ? entry.trimEnd() : entry.slice(0, equals);
  if (key === '' || /\s/.test(key) || entry.includes('\0')) {
    throw new SlimGoError(
      'OPTION_INVALID',
      `${where} is no environment variable: ${key === '' ? 'it has no name' : 'the name holds white space'}.`,
      { hint: 'Write KEY=VALUE, or KEY alone to hand on the value it has here. Quotes are part of the value.' },
    );
  }
  if (equals >= 0) return [entry];
  const value = inherited[key];
  return value === undefined ? [] : [`${key}=${value}`];
}
