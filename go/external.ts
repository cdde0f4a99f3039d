import type { Replacement } from './modfile';
import { type GoTree, inFolder, type Module, type ModuleContext, type Package, prefixes } from './packages';

/** A third-party module as one build of the repository takes it. */
export interface ExternalModule {
  /** As imports name it: `github.com/spf13/cobra`. */
  readonly path: string;
  /** `v1.8.0`; after a replacement by another module that one's path stands in front: `github.com/fork/cobra@v1.8.1`. */
  readonly version: string;
}

/** One import of a third-party package. */
export interface ExternalEdge {
  readonly sourceFile: string;
  readonly module: ExternalModule;
}

/**
 * The third-party modules that go.mod and go.work name for a build, by path, each in the version that is selected: the
 * highest that any of the modules asks for. A tidy go.mod (Go 1.17 and later) names all that its packages need.
 * https://go.dev/ref/mod#minimal-version-selection https://go.dev/ref/mod#go-mod-file-replace
 */
export function externalModules(context: ModuleContext): ReadonlyMap<string, ExternalModule> {
  const selected = new Map<string, string>();
  for (const { file } of context.modules) {
    for (const { path, version } of file.requires) {
      if (context.locals.has(path)) continue;
      const former = selected.get(path);
      if (former === undefined || compareVersions(version, former) > 0) selected.set(path, version);
    }
  }
  // What go.work says wins.
  const replaces = [...(context.work?.replaces ?? []), ...context.mains.flatMap(({ file }) => file.replaces)];
  return new Map([...selected].map(([path, version]) => [path, { path, version: replaced(path, version, replaces) }]));
}

/** Every import of a third-party package by the package, tests and all platforms included. */
export function externalEdgesOf(
  tree: GoTree,
  found: Package,
  module: Module,
  modules: ReadonlyMap<string, ExternalModule>,
): ExternalEdge[] {
  const context = tree.context(module);
  return found.files.flatMap(({ name, header }) =>
    (header?.imports ?? []).flatMap(({ path }) => {
      const target = tree.resolve(path, context);
      const isVendored = target.kind === 'local' && target.module === undefined;
      if (target.kind !== 'external' && !isVendored) return [];
      const holder = prefixes(path).find((prefix) => modules.has(prefix));
      const owner = holder === undefined ? undefined : modules.get(holder);
      return owner ? [{ sourceFile: inFolder(found.dir, name), module: owner }] : [];
    }),
  );
}

/** A replacement of this one version wins over one of all versions. */
function replaced(path: string, version: string, replaces: readonly Replacement[]): string {
  const ofPath = replaces.filter(({ oldPath }) => oldPath === path);
  const replace =
    ofPath.find(({ oldVersion }) => oldVersion === version) ??
    ofPath.find(({ oldVersion }) => oldVersion === undefined);
  if (replace === undefined) return version;
  const { newPath, newVersion } = replace;
  return newPath === path && newVersion !== undefined ? newVersion : [newPath, newVersion].filter(Boolean).join('@');
}

/**
 * Below, above or 0 as semantic versions are ordered. https://semver.org/#spec-item-11
 * `+incompatible` doesn't count: https://go.dev/ref/mod#versions
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [splitVersion(a), splitVersion(b)];
  return (
    compareIdentifiers(left.core, right.core) ||
    // A pre-release stands before its release.
    Number(right.pre.length > 0) - Number(left.pre.length > 0) ||
    compareIdentifiers(left.pre, right.pre)
  );
}

function splitVersion(version: string): { readonly core: readonly string[]; readonly pre: readonly string[] } {
  const [, core = '', pre] = /^v?([^-+]*)(?:-([^+]*))?/.exec(version) ?? [];
  return { core: core.split('.'), pre: pre === undefined ? [] : pre.split('.') };
}

function compareIdentifiers(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [left, right] = [a[index], b[index]];
    if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
    if (left === right) continue;
    const [leftIsNumber, rightIsNumber] = [/^\d+$/.test(left), /^\d+$/.test(right)];
    if (leftIsNumber && rightIsNumber) return BigInt(left) < BigInt(right) ? -1 : 1;
    if (leftIsNumber !== rightIsNumber) return leftIsNumber ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return 0;
}
