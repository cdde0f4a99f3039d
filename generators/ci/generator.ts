import { join } from 'node:path';
import {
  detectPackageManager,
  formatFiles,
  type GeneratorCallback,
  generateFiles,
  getPackageManagerCommand,
  logger,
  readNxJson,
  type Tree,
  updateNxJson,
} from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { parseReference } from '../../image/reference';
import { ignoreInGit, initWorkspace, languageVersion, remoteModule } from '../init/generator';
import { runGenerator } from '../report';
import type { CiOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = CiOptions & Required<Pick<CiOptions, 'skipFormat'>>;

const files = {
  github: { path: '.github/workflows/ci.yml', registry: 'ghcr.io' },
  gitlab: { path: '.gitlab-ci.yml', registry: 'registry.gitlab.com' },
} as const;

/**
 * `slim-go:ci`: a pipeline that runs `nx affected`, and in nx.json where `docker-push` pushes to unless that is said
 * already. A second run changes nothing.
 * @throws FILE_EXISTS where the pipeline is another, REFERENCE_INVALID for a registry that can't be one
 */
export default function ci(tree: Tree, options: Options): Promise<GeneratorCallback> {
  return runGenerator(() => createPipeline(tree, options));
}

async function createPipeline(tree: Tree, options: Options): Promise<GeneratorCallback> {
  const { path, registry: ownHost } = files[options.provider];
  const install = await initWorkspace(tree, { layout: 'module', skipFormat: true });
  const registry = options.registry?.replace(/\/+$/, '') ?? ownRegistry(tree, ownHost);
  const { domain } = parseReference(`${registry}/project`);
  const packageManager = detectPackageManager(tree.root);
  const commands = getPackageManagerCommand(packageManager, tree.root);
  const mainBranch = options.mainBranch ?? readNxJson(tree)?.defaultBase ?? 'main';
  const before = tree.exists(path) ? tree.read(path, 'utf8') : undefined;
  generateFiles(tree, join(__dirname, 'files', options.provider), '.', {
    dot: '.',
    mainBranch,
    isOwnRegistry: domain === ownHost,
    registryHost: domain,
    goVersionFile: tree.exists('go.work') ? 'go.work' : 'go.mod',
    goVersion: await languageVersion(tree),
    packageManager,
    install: commands.ciInstall ?? commands.install,
    exec: commands.exec,
  });
  setRepository(tree, registry, mainBranch);
  // GitLab keeps only what lies in the project: Go's caches, which are none of its files.
  if (options.provider === 'gitlab') ignoreInGit(tree, '.go');
  if (!options.skipFormat) await formatFiles(tree);
  if (before !== undefined && before !== tree.read(path, 'utf8')) {
    throw new SlimGoError('FILE_EXISTS', `There is a ${path} already; nothing was changed.`, {
      hint: 'Move it away to have one written, and take over what you need.',
    });
  }
  return install;
}

/** The provider's registry, with the path that it gives this repository. */
function ownRegistry(tree: Tree, host: string): string {
  const path = remoteModule(tree)?.split('/').slice(1).join('/').toLowerCase();
  if (path) return `${host}/${path}`;
  logger.warn(`There is no git remote: nx.json has images pushed to ${host}/acme, which you will want to change.`);
  return `${host}/acme`;
}

function setRepository(tree: Tree, registry: string, mainBranch: string): void {
  const nxJson = readNxJson(tree) ?? {};
  const defaults = nxJson.targetDefaults ?? {};
  if (Array.isArray(defaults) || defaults['docker-push'] !== undefined) return;
  const options = { repository: `${registry}/{projectName}`, tags: ['sha-{shortSha}'] };
  updateNxJson(tree, { ...nxJson, targetDefaults: { ...defaults, 'docker-push': { options } } });
  logger.info(`Images are pushed to ${options.repository}, from the branch ${mainBranch}.`);
}
