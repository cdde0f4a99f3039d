import { readNxJson } from '@nx/devkit';
import { workspace } from '../workspace.testdata';
import preset from './generator';

describe('slim-go:preset', () => {
  it('sets up a workspace with a program and its Dockerfile', async () => {
    const tree = workspace();
    await preset(tree, { name: 'acme', app: 'hello', template: 'cli', layout: 'module', module: 'example.com/x' });
    expect(readNxJson(tree)?.plugins).toContain('slim-go');
    expect(tree.read('go.mod', 'utf8')).toMatch(/^module example\.com\/x\n/);
    expect(tree.exists('apps/hello/Dockerfile')).toBe(true);
  });

  it('makes a go.work with a server where that is asked for', async () => {
    const tree = workspace();
    await preset(tree, { app: 'api', template: 'http', layout: 'workspace' });
    expect(tree.read('go.work', 'utf8')).toContain('./apps/api');
    expect(tree.read('apps/api/Dockerfile', 'utf8')).toContain('EXPOSE 8080');
  });
});
