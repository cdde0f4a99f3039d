// What the scripts share: where the repository is, and how a command is run.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const isWindows = process.platform === 'win32';

/** npm and npx are .cmd files on Windows, which node starts only through their JavaScript. */
function resolve(command) {
  if (!isWindows || !['npm', 'npx'].includes(command)) return [command, []];
  return [process.execPath, [join(dirname(process.execPath), 'node_modules', 'npm', 'bin', `${command}-cli.js`)]];
}

/** Runs a command in the foreground and returns its exit code; its output is the caller's unless `quiet`. */
export function run(command, args, { cwd = root, env = {}, quiet = false, stdout = 'inherit' } = {}) {
  const [file, first] = resolve(command);
  const result = spawnSync(file, [...first, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: quiet ? 'pipe' : ['inherit', stdout, 'inherit'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error) throw result.error;
  return { status: result.status ?? 1, stdout: result.stdout ?? '', stderr: result.stderr ?? '' };
}

/** `run` that ends the script when the command fails, with what it printed. */
export function mustRun(command, args, options = {}) {
  const result = run(command, args, options);
  if (result.status !== 0) {
    process.stderr.write(
      `${result.stdout}${result.stderr}\n${command} ${args.join(' ')} failed (exit ${result.status})\n`,
    );
    process.exit(result.status);
  }
  return result;
}

/** A tool that npm installed here, run by node itself: no shell, no npx lookup. */
export function tool(packageName, bin) {
  return join(root, 'node_modules', packageName, bin);
}

/** Installs the dependencies of a fresh clone. */
export function install() {
  if (!existsSync(join(root, 'node_modules', 'typescript')))
    mustRun('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

/**
 * Packs what dist/ holds and installs it in a workspace, with this repository's version of Nx.
 * @param {string} folder has a package.json
 * @returns {{filename: string, size: number}} the tarball; it stays in the folder
 */
export function installPacked(folder) {
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [packed] = Object.values(JSON.parse(mustRun('npm', pack, { quiet: true }).stdout));
  const nxVersion = JSON.parse(readFileSync(join(root, 'node_modules', 'nx', 'package.json'), 'utf8')).version;
  const packages = [`nx@${nxVersion}`, `@nx/devkit@${nxVersion.split('.')[0]}`, join(folder, packed.filename)];
  const install = ['install', '--save-dev', '--no-audit', '--no-fund', '--prefer-offline', ...packages];
  mustRun('npm', install, { cwd: folder, quiet: true });
  return packed;
}
