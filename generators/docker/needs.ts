import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enclosingModule, goBuild } from '../../go/build';
import { readNeeds } from '../../go/needs';
import { type Lack, type LackKind, lacksOf } from '../../image/lacks';
import { FileTree } from '../../image/tree';
import { hostContainerPlatform } from '../../platform';

/**
 * What a program will miss in an image that holds it and its base. It is compiled for that, into a folder that goes away.
 * @param main folder of the main package
 * @throws GO_NOT_FOUND, GO_BUILD_FAILED, GO_FILE_INVALID
 */
export async function predict(main: string, base: 'scratch' | 'alpine'): Promise<readonly Lack[]> {
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-docker-'));
  const path = join(folder, 'program');
  try {
    const [outcome] = await goBuild([
      {
        main,
        moduleDir: enclosingModule(main).dir,
        outputFile: path,
        platform: hostContainerPlatform(),
        ldflags: '',
        tags: [],
        trimpath: true,
        strip: true,
        race: false,
        cgo: false,
        vcs: false,
        env: {},
        args: [],
        mustBeStatic: false,
      },
    ]);
    if (outcome?.error) throw outcome.error;
    const asked = await readNeeds({ path, offsetBytes: 0, sizeBytes: statSync(path).size });
    const files = { image: { config: { User: '65532:65532' } }, tree: base === 'alpine' ? alpine() : new FileTree() };
    return lacksOf(files, asked).filter(({ kind }) => base === 'scratch' || !unknownInAlpine.includes(kind));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What depends on files of alpine that are not listed here. */
const unknownInAlpine: readonly LackKind[] = ['loader', 'programs'];

/** The files of alpine that decide. */
function alpine(): FileTree {
  const tree = new FileTree();
  const root = { uid: 0, gid: 0 };
  const file = (path: string, text: string) =>
    tree.set(path, { ...root, type: 'file', mode: 0o644, content: Buffer.from(text) });
  tree.makeDirectories('etc/ssl/certs', { ...root, mode: 0o755 });
  tree.makeDirectories('tmp', { ...root, mode: 0o1777 });
  file('etc/ssl/certs/ca-certificates.crt', '');
  file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n');
  file('etc/group', 'root:x:0:root\nnobody:x:65534:\n');
  return tree;
}
