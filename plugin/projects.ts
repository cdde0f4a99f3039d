import { packageName } from '../go/closure';
import { type GoTree, isWithin, type Module, prefixes } from '../go/packages';

/** What a project.json (or package.json's "nx") says about targets; only what decides inputs and outputs is looked at. */
export interface StatedProject {
  readonly name?: string;
  readonly targets?: Readonly<
    Record<string, { readonly options?: Readonly<Record<string, unknown>>; readonly outputs?: readonly string[] }>
  >;
}

/** A folder that is a project because of its Go. Folders are relative to the workspace root, '' being that. */
export interface GoProject {
  readonly root: string;
  readonly name: string;
  readonly module: Module;
  /** Whether what is about go.mod is its: of the project at the module's root, where that is none of each of the module's. */
  readonly speaksForModule: boolean;
  /** Folders of its packages: those below `root` that are no other project's. */
  readonly packages: readonly string[];
  /** The package that `build` compiles. */
  readonly main: string | undefined;
  /** Packages of the same module that lie below `root` and are other projects'. */
  readonly foreign: readonly string[];
  readonly stated: StatedProject | undefined;
}

/**
 * Projects of all modules: module roots, folders of main packages, folders with a project.json. A main package below a
 * folder with a project.json is that project's program, if it is the only one there. A module whose packages are all
 * other projects' is none.
 * @param stated what project.json says, by folder
 * @param packageNames what package.json's without "nx" say, by folder: projects of npm workspaces have those names
 */
export function findProjects(
  tree: GoTree,
  stated: ReadonlyMap<string, StatedProject>,
  packageNames: ReadonlyMap<string, string>,
  workspaceName: string,
): GoProject[] {
  const drafts = [...tree.modules.values()]
    .filter(({ dir }) => !/(^|\/)(testdata|vendor|node_modules|[_.][^/]*)(\/|$)/.test(dir))
    .flatMap((module) => projectsOf(tree, module, stated));
  const roots = new Set(drafts.map(({ root }) => root));
  const taken = new Set([...packageNames].flatMap(([dir, name]) => (roots.has(dir) ? [] : [name])));
  for (const [dir, { name }] of stated) if (name !== undefined && !roots.has(dir)) taken.add(name);
  const names = projectNames(drafts, stated, taken, workspaceName);
  return drafts.map((draft) => ({ ...draft, name: names.get(draft.root)! }));
}

function projectsOf(
  tree: GoTree,
  module: Module,
  stated: ReadonlyMap<string, StatedProject>,
): Omit<GoProject, 'name'>[] {
  const packages = tree.packageDirs(module);
  const mains = packages.filter((dir) => packageName(tree, dir) === 'main');
  const roots = new Set([...stated.keys()].filter((dir) => isWithin(dir, module.dir) && tree.moduleOf(dir) === module));
  // The workspace root's project.json, where there is one, holds commands for all: it claims nobody's program.
  const claims = new Set([...roots].filter((dir) => dir !== ''));
  const rivals = groupBy(mains, (main) => nearest(main, claims));
  for (const [claim, programs] of rivals) {
    if (claim === undefined || programs.length > 1) for (const main of programs) roots.add(main);
  }
  roots.add(module.dir);
  const owned = groupBy(packages, (dir) => nearest(dir, roots));
  const foreign = new Map<string, string[]>();
  for (const dir of packages) {
    const owner = nearest(dir, roots);
    for (const root of [...prefixes(dir), '']) {
      if (!roots.has(root) || root === owner) continue;
      const others = foreign.get(root);
      if (others) others.push(dir);
      else foreign.set(root, [dir]);
    }
  }
  return [...roots].sort().flatMap((root) => {
    const own = owned.get(root);
    if (own === undefined) return [];
    const ownMains = own.filter((dir) => packageName(tree, dir) === 'main');
    return [
      {
        root,
        module,
        speaksForModule: root === module.dir || !owned.has(module.dir),
        packages: own,
        main: ownMains.includes(root) ? root : ownMains.length === 1 ? ownMains[0] : undefined,
        foreign: foreign.get(root) ?? [],
        stated: stated.get(root),
      },
    ];
  });
}

/** The innermost of `roots` that holds a folder. */
function nearest(dir: string, roots: ReadonlySet<string>): string | undefined {
  return [...prefixes(dir), ''].find((folder) => roots.has(folder));
}

/** In the order in which they come. */
export function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/**
 * The folder's name where no other project has it, otherwise more of the path, joined by `-`. Programs choose first: in
 * `caddy/cmd/caddy` the command is `caddy`, and the library around it has the longer name.
 */
function projectNames(
  drafts: readonly Omit<GoProject, 'name'>[],
  stated: ReadonlyMap<string, StatedProject>,
  taken: ReadonlySet<string>,
  workspaceName: string,
): Map<string, string> {
  const names = new Map<string, string>();
  const used = new Set(taken);
  for (const { root } of drafts) {
    const name = stated.get(root)?.name;
    if (name === undefined) continue;
    names.set(root, name);
    used.add(name);
  }
  const isProgram = ({ main }: Omit<GoProject, 'name'>) => main !== undefined;
  for (const group of [drafts.filter(isProgram), drafts.filter((draft) => !isProgram(draft))]) {
    nameGroup(
      group.filter(({ root }) => !names.has(root)),
      names,
      used,
      workspaceName,
    );
  }
  return names;
}

/** Names those of one kind, and adds to `names` and `used`. */
function nameGroup(
  group: readonly Omit<GoProject, 'name'>[],
  names: Map<string, string>,
  used: Set<string>,
  workspaceName: string,
): void {
  let unnamed = group;
  for (let length = 1; unnamed.length > 0; length++) {
    const candidates = new Map<string, Omit<GoProject, 'name'>[]>();
    for (const draft of unnamed) {
      const parts = draft.root === '' ? [rootName(draft.module.path, workspaceName)] : draft.root.split('/');
      // Where even the whole path joined is not unique, the path itself is.
      const name = length > parts.length ? draft.root || `${parts[0]}-root` : parts.slice(-length).join('-');
      const same = candidates.get(name);
      if (same) same.push(draft);
      else candidates.set(name, [draft]);
    }
    for (const [name, same] of candidates) {
      if (same.length === 1 && !used.has(name)) names.set(same[0]!.root, name);
    }
    // Shorter names of those still unnamed must not be given away either: a name says the same thing at every length.
    for (const name of candidates.keys()) used.add(name);
    const before = unnamed.length;
    unnamed = unnamed.filter(({ root }) => !names.has(root));
    if (unnamed.length === before && length > 50) break;
  }
  for (const { root } of unnamed) names.set(root, `${root || workspaceName}-module`);
}

/** A checkout's folder may be called anything: a module at the workspace root is named by its path, `/v2` left off. */
function rootName(modulePath: string, workspaceName: string): string {
  const parts = modulePath.split('/').filter((part, index) => part !== '' && !(index > 0 && /^v\d+$/.test(part)));
  return parts.at(-1) ?? workspaceName;
}
