import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import {
  addDependenciesToPackageJson,
  formatFiles,
  type GeneratorCallback,
  logger,
  readJson,
  readNxJson,
  type Tree,
  updateNxJson,
  writeJson,
} from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { depsFile } from '../../go/deps';
import { goVersion } from '../../go/toolchain';
import { foldersWith } from '../go-work';
import { checkModulePath, exampleModule, moduleOfRemote } from '../module-path';
import { runGenerator } from '../report';
import { findingsOf, goFiles } from './findings';
import type { InitOptions } from './schema';

/** The `go` line of a new go.mod where no Go is installed that could be asked. */
const fallbackGoVersion = '1.25.0';

/**
 * `slim-go:init`: registers the plugin in nx.json, adds slim-go to package.json, has git ignore `dist`, and makes the
 * root go.mod or go.work of a workspace that has no Go yet. Where there is Go it says what becomes of it. Running it again
 * changes and says nothing.
 * @throws NAME_INVALID for a module path that Go can't take
 */
export default function init(tree: Tree, options: InitOptions): Promise<GeneratorCallback> {
  return runGenerator(async () => {
    const isNew = !isRegistered(tree);
    const files = isNew ? goFiles(tree) : [];
    const install = await initWorkspace(tree, options);
    if (files.length > 0) for (const line of findingsOf(tree, files)) logger.info(line);
    return install;
  });
}

/** What `init` does, for a generator that reports its errors itself. */
export async function initWorkspace(tree: Tree, options: InitOptions): Promise<GeneratorCallback> {
  if (options.module !== undefined) checkModulePath(options.module);
  if (!tree.exists('nx.json')) {
    // Nx itself is new here: what it writes is no part of the repository.
    writeJson(tree, 'nx.json', { $schema: './node_modules/nx/schemas/nx-schema.json' });
    for (const folder of ['node_modules', '.nx/cache', '.nx/workspace-data']) ignoreInGit(tree, folder);
  }
  registerPlugin(tree);
  ignoreInGit(tree, 'dist');
  await addGo(tree, options);
  if (options.deps && !tree.exists(depsFile)) tree.write(depsFile, '{}\n');
  if (tree.exists('go.work') || tree.exists(depsFile)) registerSync(tree);
  const install = options.skipPackageJson ? () => undefined : addPackage(tree, options.keepExistingVersions ?? true);
  if (!options.skipFormat) await formatFiles(tree);
  return install;
}

function isRegistered(tree: Tree): boolean {
  const { plugins = [] } = readNxJson(tree) ?? {};
  return plugins.some((entry) => (typeof entry === 'string' ? entry : entry.plugin) === 'slim-go');
}

function registerPlugin(tree: Tree): void {
  if (isRegistered(tree)) return;
  const nxJson = readNxJson(tree) ?? {};
  updateNxJson(tree, { ...nxJson, plugins: [...(nxJson.plugins ?? []), 'slim-go'] });
}

/** `nx sync` then keeps go.work and go.deps.json true. It is no part of other commands: only `nx sync:check` speaks of it. */
function registerSync(tree: Tree): void {
  const nxJson = readNxJson(tree) ?? {};
  const generators = nxJson.sync?.globalGenerators ?? [];
  if (generators.includes('slim-go:sync')) return;
  updateNxJson(tree, { ...nxJson, sync: { ...nxJson.sync, globalGenerators: [...generators, 'slim-go:sync'] } });
}

/** Has git ignore folders of this name unless it does. */
export function ignoreInGit(tree: Tree, folder: string): void {
  const text = tree.exists('.gitignore') ? (tree.read('.gitignore', 'utf8') ?? '') : '';
  const above = folder.split('/')[0]!;
  const forms = new Set([folder, above].flatMap((name) => [name, `${name}/`, `**/${name}`, `**/${name}/`]));
  if (text.split(/\r?\n/).some((line) => forms.has(line.trim()))) return;
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  tree.write('.gitignore', `${text}${text === '' || text.endsWith('\n') ? '' : newline}${folder}${newline}`);
}

async function addGo(tree: Tree, { layout, module }: InitOptions): Promise<void> {
  const modules = foldersWith(tree, 'go.mod');
  if (layout === 'workspace') {
    if (tree.exists('go.work')) return;
    const uses = modules.map((dir) => (dir === '.' ? '\t.' : `\t./${dir}`));
    const list = uses.length === 0 ? '' : `\nuse (\n${uses.join('\n')}\n)\n`;
    tree.write('go.work', `go ${await languageVersion(tree)}\n${list}`);
  } else if (modules.length === 0 && !tree.exists('go.work') && goFiles(tree).length > 0) {
    logger.warn('There are Go files and no go.mod: run `go mod init <module path>` where they begin.');
  } else if (modules.length === 0 && !tree.exists('go.work')) {
    const path = module ?? (await defaultModule(tree));
    tree.write('go.mod', `module ${path}\n\ngo ${await languageVersion(tree)}\n`);
    logger.info(`go.mod: module ${path}`);
  }
}

/**
 * The `go` line for a new module: the installed Go's minor version with patch 0, so that a colleague with an older patch
 * release can build it.
 */
export async function languageVersion(tree: Tree): Promise<string> {
  try {
    const [, minor = ''] = /^1\.(\d+)/.exec(await goVersion({ cwd: tree.root })) ?? [];
    // Versions of three parts are understood since Go 1.21.
    return minor === '' ? fallbackGoVersion : Number(minor) >= 21 ? `1.${minor}.0` : `1.${minor}`;
  } catch (error) {
    if (!(error instanceof SlimGoError)) throw error;
    logger.warn(`${error.message} The new Go files say "go ${fallbackGoVersion}". ${error.hint ?? ''}`);
    return fallbackGoVersion;
  }
}

function git(tree: Tree, ...args: string[]): string {
  return spawnSync('git', args, { cwd: tree.root, encoding: 'utf8', windowsHide: true }).stdout?.trim() ?? '';
}

/** The module path that the git remote `origin` stands for: `github.com/acme/mono`. */
export function remoteModule(tree: Tree): string | undefined {
  return moduleOfRemote(git(tree, 'config', '--get', 'remote.origin.url'));
}

/** The module path of the workspace root: that of the git remote `origin`, otherwise `example.com/<workspace>`. */
export async function defaultModule(tree: Tree): Promise<string> {
  const remote = remoteModule(tree);
  if (remote !== undefined) {
    // The workspace may be a folder of the repository.
    return [remote, ...git(tree, 'rev-parse', '--show-prefix').split('/')].filter(Boolean).join('/');
  }
  const name = tree.exists('package.json') ? readJson<{ name?: string }>(tree, 'package.json').name : undefined;
  // create-nx-workspace calls the root package @<workspace>/source.
  return exampleModule(name?.replace(/^@([^/]+)\/source$/, '$1') ?? basename(tree.root));
}

function addPackage(tree: Tree, keepExistingVersions: boolean): GeneratorCallback {
  // Nx may be installed without a package.json (`.nx/installation`).
  if (!tree.exists('package.json')) return () => undefined;
  const { version } = require('slim-go/package.json') as { version: string };
  return addDependenciesToPackageJson(tree, {}, { 'slim-go': version }, undefined, keepExistingVersions);
}
